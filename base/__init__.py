"""The ground floor: names, files, lines for people, commands.

It imports none of the other rooms, and all of them may import it.
"""
