//go:build !unix

package main

import "time"

func mostDescriptors() int { return unlimited }

func processorTime() time.Duration { return 0 }
