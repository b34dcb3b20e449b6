namespace go rr
include "a/types.thrift"
include "b/types.thrift"
include "c/types.thrift"
struct S { 1: types.Ta a, 2: types.Tb b, 3: list<types.Tc> c, 4: types.Eb e = types.Eb.A, 5: i32 n = types.Nc, 6: map<types.Ec, types.Ta> m = {types.Ec.A: {"x": types.Na}} }
service V extends types.Bb { types.Ta M(1: types.Tc c) throws (1: types.Xb x) }
