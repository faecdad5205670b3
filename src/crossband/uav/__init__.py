"""From a color photograph to the object in a thermal flight, on the map: translate, localize, align, detect,
match.
"""
