//go:build !linux

package main

import "log"

func main() { log.Fatal("epoll, getrusage and /proc are needed: Linux") }
