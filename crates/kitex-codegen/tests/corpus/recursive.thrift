namespace go rr
struct A { 1: required A a }
struct B { 1: required C c, 2: optional B b }
struct C { 1: required D d }
struct D { 1: required B b, 2: list<D> l, 3: map<string, D> m }
struct L { 1: optional L next, 2: L other, 3: required list<L> more, 4: required map<i32, L> by }
typedef L Link
struct M { 1: Link l, 2: required Link r, 3: optional M m (rust.box = "false"), 4: optional Small s (rust.box = "true") }
struct Small { 1: i32 x }
union U { 1: L l, 2: M m, 3: U u, 4: Self2 s }
struct Self2 { 1: U u, 2: required U r }
exception E { 1: optional E cause, 2: E other }
service V { A M(1: A a, 2: B b) throws (1: E e) }
