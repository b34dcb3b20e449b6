namespace go u
struct T { 1: i32 a }
const i32 X = 1
