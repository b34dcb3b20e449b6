namespace go rr
enum E { A }
struct P { 1: optional P p }
union U { 1: P p }
struct S { 1: optional i32 a = 1, 2: optional string b = "x", 3: optional binary c = "y", 4: optional E d = E.A, 5: optional list<i32> e = [1], 6: optional P f = {"p": {"p": {}}}, 7: optional U g = {"p": {}}, 8: optional map<i32, P> h = {1: {}}, 9: optional bool i = 0, 10: optional double j = 0, 11: optional uuid k }
