namespace go a.b.c
struct T { 1: i32 x }
