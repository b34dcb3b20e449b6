namespace go sub.x
struct T { 1: i32 x }
