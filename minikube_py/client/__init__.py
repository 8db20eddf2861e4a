"""How components reach the API: in-process (`local`) or over HTTPS (`http`), behind one Protocol."""
