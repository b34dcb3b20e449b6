namespace go rr
union U { 1: list<U> l, 2: map<string, U> m, 3: set<U> s, 4: binary b, 5: double d, 6: map<U, U> k, 7: list<list<U>> ll, 8: uuid id }
struct S { 1: required U u }
exception X { 1: U u }
service V { U M(1: U u) throws (1: X x) }
