namespace go rr
struct P { 1: i32 x, 2: string y = "dy" }
struct D { 1: P p = {"x": 5} }
