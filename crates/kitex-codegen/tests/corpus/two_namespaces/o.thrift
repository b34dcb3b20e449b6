namespace go a.b
namespace rs c.d.e
struct T { 1: i32 a }
