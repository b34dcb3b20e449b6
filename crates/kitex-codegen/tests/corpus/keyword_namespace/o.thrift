namespace go Self.async
struct T { 1: i32 a }
