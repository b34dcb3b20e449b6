namespace go y.x
struct Three { 1: i32 a }
