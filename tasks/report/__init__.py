"""Pictures and page; reads measures and evaluation, computes only what pictures of rows need."""

#: raised when a change alters what a report shows; here, where asking for it loads nothing
REPORT = 8
