"""Reads ROS 1 bags, ROS 2 bags and MCAP files of ROS 2 (extra `ros`)."""
