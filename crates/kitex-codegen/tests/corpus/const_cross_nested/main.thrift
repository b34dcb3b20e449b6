namespace go rr
include "far.thrift"
const far.PT P = far.PP
const map<far.EE, list<far.PT>> M = {far.E.A: [far.PP, P, {"e": far.E.B, "u": {"n": far.N}}]}
struct S { 1: far.P a = far.PP, 2: far.EE b = far.E.B, 3: map<far.E, far.P> m = far.MM, 4: far.U u = {"s": far.T}, 5: list<map<string, far.U>> l = [{far.T: {"n": far.N}}], 6: i64 n = far.N }
service V extends far.B { far.PT M(1: far.EE e = far.E.A, 2: i32 n = far.N) throws (1: far.XX x) }
