namespace go rr
exception X { 1: double d }
exception Y { 1: string s }
struct S { 1: map<X, Y> m, 2: set<X> x, 3: set<Y> y, 4: map<Y, X> n }
service V { set<X> M(1: map<Y, X> a) throws (1: X x) }
