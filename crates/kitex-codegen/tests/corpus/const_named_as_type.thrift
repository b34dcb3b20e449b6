namespace go rr
struct Foo { 1: i32 a }
const Foo foo = {"a": 1}
const i32 FOO = 1
const i32 Foo_ = 2
enum BAR { foo }
