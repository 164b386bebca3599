"""A report of runs as one page that opens without a network.

    commands    `vista-sim report`
    sheet       a run read and checked for the page: its episodes, also one that was cut off
    tables      summary, criteria, comparison, as rows of text
    moments     the worst moments, first the gravest
    heat        recovery by lateral offset and heading
    episodes    the table of episodes
    columns     steps in whole numbers, small enough to be part of a page
    roads       the map: edges of the road, and the recorded drive beside each step
    videos      which videos are embedded, linked or left out
    shrinking   videos made smaller
    encoding    data inside HTML that nothing can break out of
    provenance  what was run, with which versions
    page        puts all of it into the template

The page's own code is in static/, its HTML in templates/.
"""
