namespace go rr
struct i32x {}
struct u8 { 1: i32 a }
struct str { 1: u8 u }
struct bool_ {}
struct f64 { 1: double d, 2: bool b, 3: i64 i }
struct usize { 1: binary b, 2: string s }
struct char {}
enum isize { A }
typedef i32 u32
typedef string u16
service V { u8 A(1: str s, 2: f64 f, 3: usize z, 4: u32 x, 5: u16 y) }
