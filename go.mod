module grantline

go 1.26
