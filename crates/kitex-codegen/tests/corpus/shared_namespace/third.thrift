namespace go same
struct Third { 1: i32 a }
service ThirdService { Third M(1: Third t) }
