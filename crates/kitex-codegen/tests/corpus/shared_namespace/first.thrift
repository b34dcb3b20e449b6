namespace go same
struct First { 1: i32 a }
service FirstService { First M(1: First f) }
