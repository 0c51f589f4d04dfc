//go:build !unix

package main

import "os/exec"

func grouped(*exec.Cmd) {}

func killGroup(*exec.Cmd) error { return nil }
