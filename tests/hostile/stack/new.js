// expect: syntax or timeout or instructions or thrown or crash or type
// Ten thousand times `new`.
return @@10000|new @@Date;
