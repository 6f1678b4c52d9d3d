"""The commands, which the scripts of a clone and the installed program `kdefrost` share.

    program     `kdefrost`, which runs the others by their names
    __main__    `python -m kdefrost_commands`, which is the same
    profile     draws the defrosting profile of a source and a target
    compare     draws those of several sources side by side
    similarity  shows how alike networks see the same images
    comply      trains with the first layers held near a source's
    clones      shows how close a data set's clones come to it
    reproduce   draws the figures of the paper
    predict     says what an exported model makes of photographs
    kept        lists what is kept, and clears it
    splitting   which of a target's images train, choose and test
    searching   the budget of a search
    planning    what is said of a profile before it
    reporting   what a profile's command runs and writes
    command     what all of them have in common
    folding     text in lines that fit a terminal

They are not a part of kdefrost: whatever is in kdefrost is imported after kdefrost itself, and that after TensorFlow,
which takes seconds, and which heeds the settings of `command` only where they come first. So `--help` and what is
mistyped are answered at once. The folder that they lie in is on the path instead of that of the scripts, in which
`import profile` would find one of these and not Python's.
"""
