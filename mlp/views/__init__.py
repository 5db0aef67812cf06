"""Views: a graph that is stepped, edited and measured, live in Jupyter and alive in the built page.

Each view is one Python file here and one fragment in ``js/``; what they are told is made in `state`.
"""
