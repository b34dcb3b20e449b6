namespace go a.b
struct T { 1: i32 x }
service W { T Get(1: T t) }
