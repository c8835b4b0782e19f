// expect: syntax or timeout or instructions or thrown
// Ten thousand nested objects.
return (@@10000|{a:@@1@@10000|}@@).b === 1;
