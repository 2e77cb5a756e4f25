package main

// echo sends back what comes, until that fails.
func echo(c conn) {
	defer c.drop()
	for {
		p, err := c.read()
		if err != nil || c.write(p) != nil {
			return
		}
	}
}
