"""Data sets behind one small protocol: :class:`jko.preparation.table.Table`."""
