namespace go rr
include "far.thrift"
struct K { 1: far.D d, 2: far.H h }
struct S { 1: set<far.D> a, 2: map<far.H, far.D> b, 3: map<K, far.Ds> c, 4: set<far.Dm> d, 5: set<far.H> e, 6: map<far.Ds, far.Dm> f }
service V { far.Dm M(1: far.Ds s, 2: set<far.Dm> m) }
