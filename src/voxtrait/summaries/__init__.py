"""How much women and men of which age speak in an archive, and how sure that is.

A share of speech is told from the answers of a model in three ways:

(a) by labels: women's seconds over women's and men's, what is unsure left out;
(b) by probability: the mean of the calibrated probability of female over all seconds answered. It leans
    to the mix of speakers that calibration saw;
(c) corrected for the model's known error. If a share q of the speech sounds female (likelier label), and
    r and s are the recalls of women and of men, then q = r w + (1 - s)(1 - w), so the share of women is
    w = (q + s - 1) / (r + s - 1): Rogan & Gladen 1978, "Estimating prevalence from the results of a
    screening test"; in text classification the adjusted count of Forman 2008, "Quantifying counts and
    costs via classification".

The headline is (c), the median of draws of which each takes

1. the clusters of files with random weights: the Bayesian bootstrap (Rubin 1981). Clusters are days if
   they are known, else folders if there are twenty, else files: what is recorded together shares voices.
   One more cluster whose share may be anything is drawn along (Muliere & Secchi 1996), so that what was
   never heard is not ruled out, and draws of few clusters are spread wider by Student's t (Hesterberg
   2015, "What teachers should know about the bootstrap");
2. one of the conditions that the model's card has recalls for (corpora, telephone, noise ...), for
   nobody knows which of them an archive is like. Those are left out where r + s - 1 < 0.6, in which
   answers hardly tell women from men;
3. recalls from their posteriors there, Beta distributions worth as many speakers as the card's
   intervals over speakers are wide.

Its 2.5 and 97.5 % percentiles are the interval. It is one for all recordings of this kind; for the archive
itself, all of which was heard, it is rather too wide.

Age groups are told by probability alone, as in (b). A correction by the matrix of true and answered groups
is of no use: its condition number is about 2000 (docs/shares.md), so that errors of a tenth of a percent
make the answer any. Their interval takes the clusters as above, and true shares from a Dirichlet
distribution around the answered ones, whose concentration was chosen so that it holds the truth where
ages are not spread as in training. It is wide, for such is the knowledge.

How far all of this is off, and how often the intervals hold the truth, is measured by benchmarks/shares.py.
"""

from voxtrait.summaries.groups import DayColumn, DayPattern
from voxtrait.summaries.summary import ROW_COLUMNS, Summary, card_of, summarise

__all__ = ["ROW_COLUMNS", "DayColumn", "DayPattern", "Summary", "card_of", "summarise"]
