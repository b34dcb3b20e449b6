namespace rs greeter

struct Greeting {
  1: required string text
}

// No person has that name.
exception NoSuchName {
  1: required string name
}

service Greeter {
  // Greets once.
  Greeting Greet(1: string name) throws (1: NoSuchName missing)
  // Greets as often as it is asked to.
  Greeting Watch(1: Greeting greeting) (streaming.mode = "server")
}
