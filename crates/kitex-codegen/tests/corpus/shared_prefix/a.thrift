namespace go p
struct A { 1: i32 a }
service Main { A M(1: A a) }
