"""From a colour photograph to the object in a thermal flight, on the map: translate, localise, align, detect,
match.
"""
