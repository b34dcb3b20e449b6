namespace go a.types
struct Ta { 1: i32 x }
enum Ea { A = 1 }
const i32 Na = 4
exception Xa { 1: string m }
 service Ba { void Ma() }
