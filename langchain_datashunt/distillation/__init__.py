"""Two-stage confidence distillation (2CD), and the gate that a student must pass.

`distilling` is the door: `lessons` makes two stages of hard samples and replay, `screening` leaves suspected teacher
errors out, and a student of the serving model's kind learns from them (`sklearn_student`, `linear_student`,
`transformers_student`). `promotion_gate` decides on gold rows whether the student may serve.
"""
