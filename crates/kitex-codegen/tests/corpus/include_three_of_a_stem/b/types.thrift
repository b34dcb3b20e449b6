namespace go b.types
struct Tb { 1: i32 x }
enum Eb { A = 1 }
const i32 Nb = 4
exception Xb { 1: string m }
 service Bb { void Mb() }
