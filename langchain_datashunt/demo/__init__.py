"""The main job, `datashunt demo`: a small model in front of a real large one, on real text, measured.

A newcomer's machine is enough: the models and the texts come out of PyPI packages, and nothing leaves the machine while
it runs. Each module is one subject: `texts` and `splits` (what is classified), `local_server` and `large_model` (who
answers what is hard), `experiment` (the run), `scores` (what is computed from its answers), `report` (what is printed),
`command` (what is typed).
"""
