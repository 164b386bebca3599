"""Drives a session as a page would, from another thread."""

import threading
import time
from contextlib import contextmanager

from vista_sim.drive.course import Course, read_target
from vista_sim.drive.link import Link
from vista_sim.drive.log import DriveLog
from vista_sim.drive.protocol import Input
from vista_sim.drive.session import Session
from vista_sim.policies import GuardedPolicy
from vista_sim.policies.policy import policy_sensors
from vista_sim.runs.run import read_run
from vista_sim.runs.writer import RunWriter

RATE = 50.0  # Hz; faster than a human needs, to be done sooner


class Hands:
    """Holds the controls of a session, and sees its frames."""

    def __init__(self, session, link, out):
        self.session, self.link, self.out = session, link, out
        self.seq = 0

    @property
    def sees(self):
        return self.link.frame.header

    def steer(self, steer, **more):
        self.seq += 1
        self.link.give(Input(self.seq, steer, keys=False, **more))

    def command(self, name):
        self.link.command(name)

    def until(self, what, seconds=120):
        """Wait until a frame is as wanted; it is returned."""
        end = time.monotonic() + seconds
        while True:
            frame = self.link.frame
            if frame is not None and what(frame.header):
                return frame.header
            assert time.monotonic() < end, frame and frame.header
            time.sleep(0.002)

    def drive(self, seconds):
        """Drive for so long of the drive's own time."""
        start = self.sees["steps"]
        self.until(lambda sees: sees["steps"] >= start + round(seconds * RATE))

    @property
    def run(self):
        return read_run(self.out)


@contextmanager
def driving(target, out, policy=None, speed=None, seed=0, filmer=None):
    """A session that runs in a thread; gives the hands to drive it with. Then its run is whole."""
    course = Course(
        read_target(str(target), 1 / RATE, speed, seed),
        (40, 80),
        None if policy is None else policy_sensors(policy),
    )
    link = Link()
    traces = [{"path": str(path), "name": path.name} for path in course.target.traces]
    terms = tuple(course.car.reward_terms)
    with DriveLog(lambda: RunWriter(out, {"traces": traces}, terms), filmer) as log:
        guarded = None if policy is None else GuardedPolicy(policy, 5.0)
        session = Session(course, link, log, guarded, seed)
        thread = threading.Thread(target=session.run)
        thread.start()
        link.connect()
        hands = Hands(session, link, out)
        try:
            hands.until(lambda _: True)
            yield hands
        finally:
            session.stopping.set()
            thread.join(20)
        assert not thread.is_alive()
        if filmer is not None:
            filmer.close()
        log.finish(lambda _: {})
