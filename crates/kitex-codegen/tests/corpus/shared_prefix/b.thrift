namespace go p.main
struct B { 1: i32 b }
service Main { B M(1: B b) }
