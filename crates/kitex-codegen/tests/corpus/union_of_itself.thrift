namespace go rr
union U { 1: U u }
union A { 1: B b }
union B { 1: A a }
struct S { 1: required U u, 2: required A a, 3: set<U> s, 4: map<A, B> m }
service V { U M(1: A a) }
