"""Trials: questions asked, answered and remembered.

    question     how well does the tail after this cut do, trained so on these examples? (`Question`, `Answer`)
    rows         which examples a trial sees, drawn by seeds (`subset`)
    experiment   what all questions of a run have in common, read and checked
    noticing     what of its examples says how far a trial's scores are to be believed
    checks       what is given to it, held to the source and to what is learnt
    plan         what answering some questions takes (`Plan`)
    placement    where the features at each cut are held
    held         what trials are scored on, held from one run of the engine to the next
    tails        a tail, compiled once and asked question by question
    callbacks    what of Keras watches a trial's training, made anew for each
    executors    trials run here, in processes side by side, or on a cluster
    side_by_side  what all that runs several trials at a time has in common
    cluster      trials on the machines of a Ray cluster, those of a machine that dies asked again elsewhere
    nodes        its machines: joined, and held to have the same code as this one
    seats        workers on their devices
    worker       what another process does
    engine       questions in, answers and weights out; it does not know why it is asked
    predicting   what networks of folds make of the examples that they have not seen
    store        what remembers every answer of a run folder, whoever asked
    database     the SQLite database of the store
    presence     which processes are at work in a run folder
    asking       a policy's questions, asked until it is content
    bar          progress over all trials
    dashboard    trials in TensorBoard, a run each
    time_left    what trials will still take, from what others took

A policy decides which question comes next, as a pure function of the answers so far: `kdefrost.profile.policy`,
`kdefrost.compliance.policy`.
"""

from kdefrost.trials.plan import Plan
from kdefrost.trials.question import Answer, Question, Springs
from kdefrost.trials.rows import subset

__all__ = ["Answer", "Plan", "Question", "Springs", "subset"]
