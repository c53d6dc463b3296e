module github.com/fe022423/submission

go 1.26.0
