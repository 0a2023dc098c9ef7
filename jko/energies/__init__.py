"""What a step descends: functionals, their terms, and the schemes."""
