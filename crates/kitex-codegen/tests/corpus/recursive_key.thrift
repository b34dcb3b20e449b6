namespace go rr
struct K { 1: map<K, K> m, 2: set<K> s, 3: optional K k, 4: list<K> l }
union U { 1: map<U, U> m, 2: set<U> s, 3: K k }
struct A { 1: map<B, A> b }
struct B { 1: set<A> a }
