namespace go inc.base
struct A { 1: i32 n }
enum E { X = 1, Y = 2 }
