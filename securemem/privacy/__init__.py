"""Personal data: found on the way in, treated as the policy says, and given back only to those who may."""
