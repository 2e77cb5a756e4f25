package websocket

func (c *Conn) end(err error) { c.Close() }
