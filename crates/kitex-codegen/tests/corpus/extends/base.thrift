namespace go rr.base
struct T { 1: i32 x }
exception E { 1: string s }
service Base { T Get(1: T t, 2: optional list<T> l) throws (1: E e), oneway void Tell(1: T t), T Talk(1: T t) (streaming.mode = "bidirectional") }
