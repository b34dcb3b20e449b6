namespace go c.types
struct Tc { 1: i32 x }
enum Ec { A = 1 }
const i32 Nc = 4
exception Xc { 1: string m }
 service Bc { void Mc() }
