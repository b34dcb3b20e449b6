namespace go rr
service V { S M(1: S s) throws (1: X x) }
exception X {}
struct S { 1: T t }
typedef U T
union U { 1: E e }
enum E { A }
